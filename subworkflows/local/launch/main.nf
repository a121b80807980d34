// What must be looked at anew at every launch, because Nextflow's own hashes do not see it:
// which files each row names, what stands inside folders, and which lines of the package a phase depends on.

// The samplesheet, if there is one.
def samplesheetOf(input) {
    if (!input) {
        error("--input is missing: give a samplesheet (CSV with the columns sample, image, …), or try -profile test")
    }
    def samplesheet = fileAt(input)
    if (!samplesheet?.exists() || samplesheet.isDirectory()) {
        def hint = samplesheet?.isDirectory() ? 'a folder was found, expected a CSV file; `cellbatch samplesheet FOLDER` writes one with a row per image' : 'give the path of a CSV file'
        error("--input: no samplesheet ${withoutSecrets(input)}; ${hint}")
    }
    samplesheet
}

// The samplesheet as tasks may see it: itself, or a copy in which no address has what signs it.
def sheetWithoutSecrets(samplesheet, work) {
    def text = samplesheet.text
    def signed = pathCellsOf(text).flatten().collect { cell -> cell.path }.findAll { path -> withoutSecrets(path) != path } as Set
    if (!signed) {
        return samplesheet
    }
    // the longest first, so that none is taken apart where another begins like it
    def lines = text.readLines().collect { line ->
        cellsOf(line).findAll { cell -> cell in signed }.sort { cell -> -cell.size() }.inject(line) { shown, cell ->
            shown.replace(cell, withoutSecrets(cell)).replace(cell.replace('"', '""'), withoutSecrets(cell).replace('"', '""'))
        }
    }
    def clean = lines.join('\n') + '\n'
    // under a name made of what it holds, and written once, so that -resume finds it as it was
    def copy = work.resolve("samplesheets/${clean.md5()}.csv")
    if (!copy.exists()) {
        copy.parent.mkdirs()
        copy.text = clean
    }
    copy
}

// Path cells of every row, numbered in the order in which their files are staged. Nextflow's own CSV reader knows no
// doubled quotes and no byte order mark; the plan holds its own reading of the sheet against this one.
def stageRows(samplesheet) {
    def staged = 0
    pathCellsOf(samplesheet.text).collect { cells ->
        def files = cells.collect { given ->
            def cell = locate(samplesheet, given.path)
            staged += cell.state == 'staged' ? 1 : 0
            [column: given.column, position: cell.state == 'staged' ? staged : 0] + cell
        }
        [files: files]
    }
}

// Column and path of the cells of every row that name files.
def pathCellsOf(text) {
    def columns = ['image', 'nuclear_image', 'membrane_image']
    def lines = text.replace('\uFEFF', '').readLines().collect { line -> cellsOf(line) }
    def rows = lines.findAll { cells -> cells.any { cell -> cell } }
    def header = rows ? rows[0] : []
    rows.drop(1).collect { cells ->
        def row = [header, cells].transpose().collectEntries { name, cell -> [name, cell] }
        columns.findAll { column -> row[column] }.collect { column -> [column: column, path: row[column]] }
    }
}

// Cells of one line of CSV: bare, or in quotes that are doubled inside.
def cellsOf(line) {
    ((',' + line) =~ /,\s*(?:"([^"]*+(?:""[^"]*+)*+)"\s*|([^,]*))/).collect { match ->
        (match[1] != null ? match[1].replace('""', '"') : match[2]).strip()
    }
}

// One path cell: staged, missing, or refused for a name that cannot be staged safely.
def locate(samplesheet, path) {
    def is_absolute = path.startsWith('/') || path =~ /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//
    def unsafe = /[{}\p{Cntrl}]/
    def name = withoutSecrets(path)
    if (path =~ unsafe || !is_absolute && samplesheet.parent.toString() =~ unsafe) {
        return [path: name, state: 'refused', uri: name, entries: []]
    }
    def found = is_absolute ? fileAt(path) : samplesheet.parent.resolve(path)
    if (!found) {
        return [path: name, state: 'missing', uri: name, entries: []]
    }
    found.exists()
        ? [path: name, state: 'staged', uri: withoutSecrets(found.toUriString()), entries: entriesOf(found), file: found]
        : [path: name, state: 'missing', uri: withoutSecrets(found.toUriString()), entries: []]
}

// A file by its path or address; null for what is no address at all: Nextflow would tell it whole, with what signs it.
def fileAt(address) {
    try {
        return file(address, glob: false)
    }
    catch (java.net.URISyntaxException _error) {
        return null
    }
}

// An address without what must not be written down: user, password, and the query that signs it.
def withoutSecrets(value) {
    value instanceof CharSequence
        ? value.toString().replaceAll(/([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^\/@\s]*@/, '$1').replaceAll(/([A-Za-z][A-Za-z0-9+.-]*:\/\/[^?]*)\?\S*/, '$1')
        : value
}

// What Nextflow itself writes down from here on: the report shows the command line, the log every address that is copied.
def hideSecrets(metadata) {
    metadata.commandLine = withoutSecrets(metadata.commandLine)
    org.slf4j.LoggerFactory.getLogger('nextflow.file.FilePorter').setLevel(ch.qos.logback.classic.Level.INFO)
}

// Parameters as they may stand in work files and reports.
def shownOf(parameters) {
    parameters.collectEntries { name, value -> [name, withoutSecrets(value)] }
}

// The newer parser of Nextflow 25.04 does not know the command line when it reads a configuration: there Google Batch would
// get another project, and another number of GPUs, than was asked for.
def refuseUnreadPlace(parameters, config) {
    if (parameters.place == 'google' && config.google?.project != parameters.gcp_project) {
        error("--gcp_project ${parameters.gcp_project} did not reach the configuration, which says ${config.google?.project}: this parser reads it before the command line; run with NXF_SYNTAX_PARSER=v1, or set params.gcp_project and the other gcp_ parameters in nextflow.config")
    }
}

// All that the plan reads on its standard input.
def launchRecord(projectDir, parameters, rows, model_entries) {
    groovy.json.JsonOutput.toJson([
        rows: rows.collect { row -> [files: row.files.collect { cell -> cell.findAll { key, _value -> key != 'file' } }] },
        model: model_entries,
        parameters: shownOf(parameters),
        prices: pricesOf(projectDir, parameters.prices),
        markers: markersOf(parameters.markers),
        qc_thresholds: thresholdsOf(projectDir, parameters.qc_thresholds).text,
    ])
}

// What is left to do when a run ends: with --cleanup the hand-offs of a run that succeeded go.
def finishRun(projectDir, parameters, is_success, handoffs) {
    def is_plan_only = parameters.plan_only.toString().toBoolean()
    def shown = withoutSecrets(parameters.outdir)
    if (is_success && parameters.cleanup.toString().toBoolean()) {
        handoffs.each { path -> path.delete() }
    }
    if (is_success && is_plan_only) {
        log.info(file("${parameters.outdir}/plan/plan.txt").text)
    }
    else {
        writeCost(projectDir, parameters.outdir)
    }
    if (is_success && !is_plan_only && parameters.preview.toString().toBoolean()) {
        log.info("previews  ${shown}/preview")
    }
    else if (is_success && !is_plan_only) {
        log.info("labels    ${shown}/labels\noverlays  ${shown}/qc\nreport    ${shown}/report/multiqc_report.html")
    }
}

// Relative path, size and time of every file in a folder; nothing for a plain file, which Nextflow hashes itself.
def entriesOf(path) {
    if (!path.isDirectory()) {
        return []
    }
    def entries = []
    path.eachFileRecurse { entry ->
        if (!entry.isDirectory()) {
            entries << [path.relativize(entry).toString(), entry.size(), entry.lastModified()]
        }
    }
    entries.sort { entry -> entry[0] }
}

// What the plan found odd, though no fault: contradicting pixel sizes, columns that look misspelt, samples left out.
def remarksOf(plan) {
    def found = new groovy.json.JsonSlurperClassic().parseText(plan.text)
    found.remarks + found.left_out.collect { out -> "LEFT OUT: ${out.sample} (row ${out.row}): ${out.reason}".toString() }
}

// A model that ships with the pipeline, by name, or one of the user's own: a folder or a file, with the manifest that
// lies beside it.
def modelFiles(projectDir, model) {
    def shipped = file("${projectDir}/assets/models/${model}", glob: false)
    def path = shipped.exists() ? shipped : fileAt(model)
    if (!path?.exists()) {
        error("--model: no model ${withoutSecrets(model)}; give a name (demo, demo_nuclear, mesmer, nuclear, cytoplasm), a model folder, an .onnx file, a SavedModel folder, a .tar.gz with one, or a Keras file")
    }
    def stem = path.name.replaceFirst(/(?i)\.(onnx|keras|h5|hdf5|tgz|tar\.gz)$/, '')
    def beside = path.resolve('manifest.json').exists()
        ? []
        : ["${stem}.manifest.json", 'manifest.json'].collect { name -> path.resolveSibling(name) }.findAll { manifest -> manifest.exists() }
    [path] + beside.take(1)
}

// Machines and what they cost: the table that ships, or the user's own.
def pricesOf(projectDir, prices) {
    def table = prices ? fileAt(prices) : file("${projectDir}/assets/prices.json")
    if (!table?.exists()) {
        error("--prices: no file ${withoutSecrets(prices)}; give a table like assets/prices.json")
    }
    new groovy.json.JsonSlurperClassic().parseText(table.text)
}

// Text of a table of channel names, where one is given.
def markersOf(markers) {
    def table = markers ? fileAt(markers) : null
    if (markers && !table?.exists()) {
        error("--markers: no file ${withoutSecrets(markers)}; give a markers.csv (MCMICRO) or a panel.csv (steinbock)")
    }
    table?.text
}

// What samples are judged by: the thresholds that ship, or the user's own.
def thresholdsOf(projectDir, thresholds) {
    def table = thresholds ? fileAt(thresholds) : file("${projectDir}/assets/qc_thresholds.json")
    if (!table?.exists()) {
        error("--qc_thresholds: no file ${withoutSecrets(thresholds)}; give one like assets/qc_thresholds.json, with what is to differ")
    }
    table
}

// cost.csv from the trace, which is complete only now. The results may lie in a bucket, so the script works on copies.
def writeCost(projectDir, outdir) {
    def traces = [outdir, 'results'].collect { folder -> file("${folder}/pipeline_info/execution_trace.txt") }.findAll { entry -> entry.exists() }
    def plan = file("${outdir}/plan/plan.json")
    if (!traces || !plan.exists()) {
        return
    }
    def copies = java.nio.file.Files.createTempDirectory('cellbatch-')
    ['pipeline_info', 'plan', 'report'].each { name -> copies.resolve(name).mkdirs() }
    // Nextflow 25.04 with the newer parser writes its trace beside the default --outdir: the newest is this run's
    traces.sort { entry -> entry.lastModified() }.last().copyTo(copies.resolve('pipeline_info/execution_trace.txt'))
    plan.copyTo(copies.resolve('plan/plan.json'))
    def timings = file("${outdir}/pipeline_info/timings.csv")
    if (timings.exists()) {
        timings.copyTo(copies.resolve('pipeline_info/timings.csv'))
    }
    def report = file("${outdir}/report/multiqc_report.html")
    if (report.exists()) {
        report.copyTo(copies.resolve('report/multiqc_report.html'))
    }
    def cost = ['python3', "${projectDir}/bin/cost_run.py", '--results', copies.toString()].execute()
    def said = cost.err.text
    if (cost.waitFor() == 0) {
        copies.resolve('pipeline_info/cost.csv').copyTo("${outdir}/pipeline_info/cost.csv")
        if (report.exists()) {
            // beside it first, so that nobody finds half a page
            def part = report.resolveSibling('.multiqc_report.part')
            copies.resolve('report/multiqc_report.html').copyTo(part)
            java.nio.file.Files.move(part, report, java.nio.file.StandardCopyOption.REPLACE_EXISTING)
        }
    }
    else {
        log.warn("no cost.csv: ${said.readLines() ? said.readLines().last() : ''}; where Python knows the package: bin/cost_run.py --results ${withoutSecrets(outdir)}")
    }
    copies.deleteDir()
}

// Memory of an attempt: more for each after a death for memory, by the list of what machines offer where the plan chose them,
// and never less than the attempt before it had, whatever ended that one.
def memoryOf(task, need_mb, offered_mb) {
    def attempt = task.exitStatus in [75, 137] ? task.attempt : 1
    def had = task.previousTrace?.memory
    def had_mb = had instanceof Number ? had.intdiv(1 << 20) : had?.toMega() ?: 0
    "${[offered_mb ? offered_mb[attempt - 1] ?: offered_mb.last() : need_mb * attempt, had_mb].max()} MB".toString()
}

// The machine that the plan chose for a task of so much memory; nothing where the place chooses.
def machineOf(task, names, offered_mb) {
    names ? names[offered_mb.findIndexOf { mb -> mb >= task.memory.toMega() }] : null
}

// Fingerprint of all source files that a phase imports, directly or not, of the JSON files that lie in their packages, and of
// the native kernels if it calls any.
def codeOf(projectDir, phase) {
    def source = "${projectDir}/src/cellbatch"
    def modules = importsOf(source, importedBy(file("${projectDir}/bin/${phase}.py").text), [])
    def packages = modules.collect { name -> file(placeOf(source, name), glob: false) }.findAll { place -> place.isDirectory() }
    def data = packages.collectMany { place -> files("${place}/*.json") }
    def kernels = modules.any { name -> name.startsWith('cellbatch._native.') } ? files("${source}/_native/*.{cpp,hpp}") : []
    def texts = modules.sort().collect { name -> textOf(source, name) }
    (texts + (data.sort() + kernels.sort()).collect { entry -> entry.text }).join('').md5()
}

// By rounds, each with all that the round before imports: the stack holds no more than the longest chain of imports.
def importsOf(source, pending, seen) {
    def fresh = pending.unique(false) - seen
    if (!fresh) {
        return seen
    }
    def imported = fresh.collectMany { name ->
        def parent = name.contains('.') ? [name.take(name.lastIndexOf('.'))] : []
        parent + importedBy(textOf(source, name))
    }
    importsOf(source, imported, seen + fresh)
}

def importedBy(text) {
    (text =~ /(?m)^\s*(?:from|import)\s+(cellbatch[.\w]*)/).collect { match -> match[1] }
}

// Where a module or package of that name would lie.
def placeOf(source, module) {
    source + module.replace('.', '/').drop('cellbatch'.length())
}

def textOf(source, module) {
    def path = placeOf(source, module)
    def script = file("${path}.py", glob: false)
    script.exists() ? script.text : file("${path}/__init__.py", glob: false).text
}
