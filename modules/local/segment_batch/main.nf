include { machineOf; memoryOf } from '../../../subworkflows/local/launch/main'

process SEGMENT_BATCH {
    tag "${meta.id} (${meta.images})"
    label 'process_gpu'
    memory { memoryOf(task, meta.memory.fused, meta.machine_memory?.fused) }
    machineType { machineOf(task, meta.machine?.fused, meta.machine_memory?.fused) }

    input:
    tuple val(meta), val(record), path(images, stageAs: 'images/?/*')
    path model
    path thresholds, stageAs: 'thresholds.json'
    val code

    output:
    path 'labels/*', optional: true, emit: images
    path 'cells/*', optional: true, emit: cells
    path 'qc/*', optional: true, emit: overlays
    path 'zarr/*.ome.zarr', optional: true, emit: zarr
    path 'shapes/*.geojson*', optional: true, emit: shapes
    path 'spatialdata/*.zarr', optional: true, emit: spatialdata
    path "${meta.id}.summary.parquet", optional: true, emit: summary
    path "${meta.id}.fused.timings.csv", emit: timings
    path 'failed.jsonl', optional: true, emit: failed
    tuple val("${task.process}"), val('onnxruntime'), eval('ORT_DISABLE_TELEMETRY=1 python3 -c "import onnxruntime; print(onnxruntime.__version__)"'), topic: versions

    script:
    """
    # code ${code}
    cat > batch.json <<'END_OF_RECORD'
    ${record}
    END_OF_RECORD
    segment_batch.py --batch batch.json --images images --model '${model}' --labels labels --cells cells --overlays qc --zarr zarr \\
        --summary '${meta.id}.summary.parquet' --timings '${meta.id}.fused.timings.csv' \\
        --qc_thresholds thresholds.json --processes ${task.cpus} ${meta.layout ? "--layout ${meta.layout}" : ''} ${task.ext.args ?: ''} ${meta.device ? "--device ${meta.device}" : ''}
    """

    stub:
    """
    # code ${code}
    mkdir labels cells qc
    touch 'labels/${meta.id}.whole_cell.ome.tif' 'cells/${meta.id}.cells.parquet' 'qc/${meta.id}.overlay.png'
    touch '${meta.id}.summary.parquet' '${meta.id}.fused.timings.csv'
    """
}
