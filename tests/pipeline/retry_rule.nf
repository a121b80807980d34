// What the configuration does with each exit status: the rule itself, as the engine would evaluate it.
workflow {
    def text = file(params.rule_from).text
    def rule = (text =~ /(?s)errorStrategy\s*=\s*(\{.*?\n    \})/)[0][1]
    ((50000..50007) + [1, 64, 65, 75, 104, 134, 137, 139, 143]).each { status ->
        def task = [exitStatus: status, attempt: 1, process: 'INFER_TILES']
        def binding = new groovy.lang.Binding([task: task, params: [keep_going: false]])
        println("${status} ${new groovy.lang.GroovyShell(binding).evaluate("return ${rule}").call()}")
    }
}
