process PLAN_BATCHES {
    label 'process_low'

    input:
    path samplesheet, stageAs: 'samplesheet.csv'
    path images, stageAs: 'images/?/*'
    path model, stageAs: 'model/*'
    path schema
    val code
    stdin

    output:
    path 'plan/batches.jsonl', emit: batches
    path 'plan/plan.json', emit: plan
    path 'plan/plan.txt', emit: text
    path 'plan/rerun_rows.jsonl', emit: rows
    tuple val("${task.process}"), val('cellbatch'), eval('plan_batches.py --version'), topic: versions

    script:
    """
    # code ${code}
    plan_batches.py --samplesheet samplesheet.csv --images images --model model --schema '${schema}' --outdir plan \\
        --memory_limit '${task.resourceLimits?.memory ?: ''}' --processes ${task.cpus} ${task.ext.args ?: ''}
    """

    stub:
    """
    # code ${code}
    plan_batches.py --samplesheet samplesheet.csv --images images --model model --schema '${schema}' --outdir plan --stub --processes ${task.cpus} ${task.ext.args ?: ''}
    """
}
