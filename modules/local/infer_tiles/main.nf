process INFER_TILES {
    tag "${meta.id} (${meta.images})"
    label 'process_gpu'
    memory { "${meta.memory.infer * (task.exitStatus in [75, 137] ? task.attempt : 1)} MB" }
    machineType { meta.machine?.infer?.getAt(task.exitStatus in [75, 137] ? task.attempt - 1 : 0) }

    input:
    tuple val(meta), path(pixels)
    path model
    val code

    output:
    tuple val(meta), path("${meta.id}.heads.zip"), emit: heads
    path "${meta.id}.infer.timings.csv", emit: timings

    script:
    """
    # code ${code}
    infer_tiles.py --pixels '${pixels}' --model '${model}' --output '${meta.id}.heads.zip' \\
        --timings '${meta.id}.infer.timings.csv' --threads ${task.cpus} ${task.ext.args ?: ''}
    """

    stub:
    """
    # code ${code}
    touch '${meta.id}.heads.zip' '${meta.id}.infer.timings.csv'
    """
}
