// What the configuration does with each exit status, and what a module then asks for: the rules themselves, as the engine
// would evaluate them.
workflow {
    def text = file(params.rule_from).text
    def rule = (text =~ /(?s)errorStrategy\s*=\s*(\{.*?\n    \})/)[0][1]
    ((50000..50007) + [1, 64, 65, 75, 104, 134, 137, 139, 143]).each { status ->
        def task = [exitStatus: status, attempt: 1, process: 'INFER_TILES']
        def binding = new groovy.lang.Binding([task: task, params: [keep_going: false]])
        println("${status} ${new groovy.lang.GroovyShell(binding).evaluate("return ${rule}").call()}")
    }
    // memory of each module, where nobody chose a machine and where the plan did
    def memory = ['preprocess', 'infer', 'postprocess', 'measure', 'fused'].collectEntries { phase -> [phase, 100] }
    def offered = memory.collectEntries { phase, _mb -> [phase, [110, 220, 330, 330]] }
    files("${projectDir}/../../modules/local/*/main.nf").sort().findAll { module -> module.text.contains('machineType') }.each { module ->
        def asks = (module.text =~ /(?s)\n    memory (\{.*?\n    \})/)[0][1]
        [here: [memory: memory], there: [memory: memory, machine_memory: offered]].each { place, meta ->
            [[137, 2], [137, 3], [75, 4], [50001, 3]].each { status, attempt ->
                def binding = new groovy.lang.Binding([meta: meta, task: [exitStatus: status, attempt: attempt]])
                println("asks ${module.parent.name} ${place} ${new groovy.lang.GroovyShell(binding).evaluate("return ${asks}").call()}")
            }
        }
    }
}
