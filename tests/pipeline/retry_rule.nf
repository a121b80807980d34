// What the configuration does with each exit status, and what a task then asks for: the rules themselves, as the engine
// evaluates them.
include { machineOf; memoryOf } from '../../subworkflows/local/launch/main'

// dies for memory, is then taken back, and tells what it has in the end
process TRY_AGAIN {
    memory { memoryOf(task, 100, [110, 220, 330, 330]) }
    errorStrategy 'retry'
    maxRetries 3

    output:
    stdout

    script:
    """
    echo "tried ${task.attempt} ${task.memory.toMega()}"
    exit ${[137, 143, 0][task.attempt - 1]}
    """
}

workflow {
    TRY_AGAIN()
    TRY_AGAIN.out.view { said -> said.trim() }
    def text = file(params.rule_from).text
    def rule = (text =~ /(?s)errorStrategy\s*=\s*(\{.*?\n    \})/)[0][1]
    ((50000..50007) + [1, 64, 65, 75, 104, 134, 137, 139, 143]).each { status ->
        def task = [exitStatus: status, attempt: 1, process: 'INFER_TILES']
        def binding = new groovy.lang.Binding([task: task, params: [keep_going: false]])
        println("${status} ${new groovy.lang.GroovyShell(binding).evaluate("return ${rule}").call()}")
    }
    // memory in MB and machine: where nobody chose machines, and where the plan did
    def offers = [here: null, there: [110, 220, 330, 330]]
    offers.each { place, offered ->
        [[137, 2, 100], [137, 3, 200], [75, 4, 300], [50001, 2, 100], [50001, 3, 200], [143, 4, 220], [2147483647, 1, 0]].each { status, attempt, had ->
            def before = had ? [memory: (offered ? offered[had.intdiv(100) - 1] : had) * 1048576L] : null
            def asked = memoryOf([exitStatus: status, attempt: attempt, previousTrace: before], 100, offered)
            def machine = machineOf([memory: asked as nextflow.util.MemoryUnit], offered ? ['a', 'b', 'c', 'c'] : null, offered)
            println("asks ${place} ${asked.replace(' MB', '')} ${machine}")
        }
    }
}
