include { machineOf; memoryOf } from '../../../subworkflows/local/launch/main'

process INFER_TILES {
    tag "${meta.id} ${shard + 1}/${meta.shards} (${meta.images})"
    label 'process_gpu'
    memory { memoryOf(task, meta.memory.infer, meta.machine_memory?.infer) }
    machineType { machineOf(task, meta.machine?.infer, meta.machine_memory?.infer) }

    input:
    tuple val(meta), val(shard), path(pixels)
    path model
    val code

    output:
    tuple val(meta), path("${meta.id}.${shard}.heads.zip"), emit: heads
    path "${meta.id}.${shard}.infer.timings.csv", emit: timings
    path 'failed.jsonl', optional: true, emit: failed
    tuple val("${task.process}"), val('onnxruntime'), eval('ORT_DISABLE_TELEMETRY=1 python3 -c "import onnxruntime; print(onnxruntime.__version__)"'), topic: versions

    script:
    """
    # code ${code}
    infer_tiles.py --pixels '${pixels}' --model '${model}' --output '${meta.id}.${shard}.heads.zip' \\
        --timings '${meta.id}.${shard}.infer.timings.csv' --shard ${shard} --shard_pixels ${meta.shard_pixels} \\
        --threads ${task.cpus} ${task.ext.args ?: ''} ${meta.device ? "--device ${meta.device}" : ''}
    """

    stub:
    """
    # code ${code}
    touch '${meta.id}.${shard}.heads.zip' '${meta.id}.${shard}.infer.timings.csv'
    """
}
