include { machineOf; memoryOf } from '../../../subworkflows/local/launch/main'

process MEASURE_CELLS {
    tag "${meta.id} (${meta.images})"
    label 'process_medium'
    memory { memoryOf(task, meta.memory.measure, meta.machine_memory?.measure) }
    machineType { machineOf(task, meta.machine?.measure, meta.machine_memory?.measure) }

    input:
    tuple val(meta), val(record), path(images, stageAs: 'images/?/*'), path(labels)
    path thresholds, stageAs: 'thresholds.json'
    val code

    output:
    path 'cells/*', optional: true, emit: cells
    path 'qc/*', optional: true, emit: overlays
    path 'zarr/*.ome.zarr', emit: zarr, optional: true
    path 'shapes/*.geojson*', emit: shapes, optional: true
    path 'spatialdata/*.zarr', emit: spatialdata, optional: true
    path "${meta.id}.summary.parquet", emit: summary
    path "${meta.id}.measure.timings.csv", emit: timings
    path 'failed.jsonl', optional: true, emit: failed

    script:
    """
    # code ${code}
    cat > batch.json <<'END_OF_RECORD'
    ${record}
    END_OF_RECORD
    measure_cells.py --batch batch.json --images images --labels '${labels}' --cells cells --overlays qc --zarr zarr \\
        --summary '${meta.id}.summary.parquet' --timings '${meta.id}.measure.timings.csv' \\
        --qc_thresholds thresholds.json --processes ${task.cpus} ${meta.layout ? "--layout ${meta.layout}" : ''} ${task.ext.args ?: ''}
    """

    stub:
    """
    # code ${code}
    mkdir cells qc
    touch 'cells/${meta.id}.cells.parquet' 'qc/${meta.id}.overlay.png' '${meta.id}.summary.parquet' '${meta.id}.measure.timings.csv'
    """
}
