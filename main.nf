#!/usr/bin/env nextflow
// cellbatch: DeepCell segmentation, from a samplesheet to labels, tables and a report

include { codeOf; entriesOf; finishRun; hideSecrets; launchRecord; modelFiles; refuseUnreadPlace; remarksOf; samplesheetOf; sheetWithoutSecrets; shownOf; stageRows; thresholdsOf } from './subworkflows/local/launch/main'
include { PLAN_BATCHES       } from './modules/local/plan_batches/main'
include { PREPARE_MODEL      } from './modules/local/prepare_model/main'
include { PREVIEW_IMAGES     } from './modules/local/preview_images/main'
include { SEGMENT_SPLIT      } from './subworkflows/local/segment_split/main'
include { SEGMENT_FUSED      } from './subworkflows/local/segment_fused/main'
include { REPORT_RUN         } from './modules/local/report_run/main'
include { CHECK_RUN          } from './modules/local/check_run/main'

workflow {
    main:
    hideSecrets(nextflow.Global.session.workflowMetadata)
    refuseUnreadPlace(params, nextflow.Global.session.config)
    def samplesheet = samplesheetOf(params.input)
    def rows = stageRows(samplesheet)
    def model = modelFiles(projectDir, params.model)
    def model_entries = model.collect { file -> entriesOf(file) }
    def schema = file("${projectDir}/nextflow_schema.json")
    def launch = launchRecord(projectDir, params, rows, model_entries)
    def staged = rows.collectMany { row -> row.files.findAll { cell -> cell.state == 'staged' }.collect { cell -> cell.file } }

    PLAN_BATCHES(
        sheetWithoutSecrets(samplesheet, workflow.workDir),
        staged,
        model,
        schema,
        codeOf(projectDir, 'plan_batches'),
        launch,
    )

    PLAN_BATCHES.out.plan.subscribe { plan -> remarksOf(plan).each { remark -> log.warn(remark) } }
    // each record travels as a value, so that a task depends on its own batch only; the classic parser gives plain
    // maps, which several operators may read at once
    ch_planned = PLAN_BATCHES.out.batches.filter { _batches -> !params.plan_only.toString().toBoolean() }
    ch_batches = ch_planned
        .flatMap { batches -> batches.readLines() }
        .map { line ->
            def batch = new groovy.json.JsonSlurperClassic().parseText(line)
            def files = batch.rows.collectMany { row ->
                rows[row].files.findAll { cell -> cell.state == 'staged' }.collect { cell -> cell.file }
            }
            [batch.meta, batch.record, batch.measured, files]
        }
    // with --preview a few samples meet a grid of parameters, and nothing else runs
    def is_preview = params.preview.toString().toBoolean()
    ch_images = ch_batches.map { meta, record, _measured, files -> [meta, record, files] }
    // a process per phase, or one task for all phases of a batch, as the plan says
    ch_ways = ch_batches.filter { _batch -> !is_preview }.branch { meta, _record, _measured, _files ->
        split: meta.phases == 'split'
        fused: meta.phases == 'fused'
    }

    // nothing heavy starts before the plan has found every input right
    ch_model = ch_planned
        .combine(PLAN_BATCHES.out.plan)
        .map { _batches, plan -> [new groovy.json.JsonSlurper().parse(plan).model.prepared, model] }
    PREPARE_MODEL(
        ch_model,
        file("${projectDir}/assets/test/tissue_01.ome.tif"),
        model_entries.toString().md5(),
        codeOf(projectDir, 'prepare_model'),
    )
    // one model for all batches; its manifest as text, which is the same however often it is prepared
    ch_prepared = PREPARE_MODEL.out.model.first()
    ch_manifest = PREPARE_MODEL.out.manifest.map { manifest -> manifest.text.trim() }.first()

    PREVIEW_IMAGES(ch_images.filter { _batch -> is_preview }, ch_prepared, schema, codeOf(projectDir, 'preview_images'), groovy.json.JsonOutput.toJson(shownOf(params)))
    def thresholds = thresholdsOf(projectDir, params.qc_thresholds)
    SEGMENT_SPLIT(ch_ways.split, ch_prepared, ch_manifest, thresholds)
    SEGMENT_FUSED(ch_ways.fused, ch_prepared, thresholds)

    ch_run = channel.topic('versions')
        .unique()
        .map { process, tool, version -> [process.tokenize(':').last(), tool, version] }
        .toSortedList { a, b -> a.toString() <=> b.toString() }
        .map { versions -> versions + [['workflow', 'nextflow', workflow.nextflow.version.toString()]] }
        .map { versions -> groovy.json.JsonOutput.toJson([parameters: shownOf(params), versions: versions]) }
        .filter { _run -> !is_preview }
    REPORT_RUN(
        SEGMENT_SPLIT.out.summary.mix(SEGMENT_FUSED.out.summary).toSortedList { a, b -> a.name <=> b.name },
        SEGMENT_SPLIT.out.timings.mix(SEGMENT_FUSED.out.timings).toSortedList { a, b -> a.name <=> b.name },
        PLAN_BATCHES.out.plan,
        SEGMENT_SPLIT.out.failed.mix(SEGMENT_FUSED.out.failed).toSortedList(),
        PLAN_BATCHES.out.rows,
        ch_manifest,
        file("${projectDir}/assets/multiqc_config.yml"),
        codeOf(projectDir, 'report_run'),
        ch_run,
    )
    // a run that left samples out must not pass for a clean one: it publishes everything, then ends with an error
    CHECK_RUN(REPORT_RUN.out.failed, codeOf(projectDir, 'check_run'))

    // with --cleanup the hand-offs go when the run has succeeded
    def handoffs = [].asSynchronized()
    SEGMENT_SPLIT.out.handoffs.subscribe { handoff -> handoffs << handoff }

    workflow.onComplete = {
        finishRun(projectDir, params, workflow.success, handoffs.flatten())
    }
}
