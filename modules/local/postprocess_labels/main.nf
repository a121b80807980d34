include { machineOf; memoryOf } from '../../../subworkflows/local/launch/main'

process POSTPROCESS_LABELS {
    tag "${meta.id} (${meta.images})"
    label 'process_medium'
    memory { memoryOf(task, meta.memory.postprocess, meta.machine_memory?.postprocess) }
    machineType { machineOf(task, meta.machine?.postprocess, meta.machine_memory?.postprocess) }

    input:
    tuple val(meta), val(record), path(heads)
    val manifest
    val code

    output:
    path 'labels/*', emit: images, optional: true
    tuple val(meta), path("${meta.id}.labels.zip"), optional: true, emit: labels
    path "${meta.id}.postprocess.timings.csv", emit: timings
    path 'failed.jsonl', optional: true, emit: failed

    script:
    """
    # code ${code}
    cat > batch.json <<'END_OF_RECORD'
    ${record}
    END_OF_RECORD
    mkdir model
    cat > model/manifest.json <<'END_OF_MANIFEST'
    ${manifest}
    END_OF_MANIFEST
    postprocess_labels.py --batch batch.json --heads ${heads} --model model --outdir labels \\
        --handoff '${meta.id}.labels.zip' --timings '${meta.id}.postprocess.timings.csv' --processes ${task.cpus} ${meta.layout ? "--layout ${meta.layout}" : ''} ${task.ext.args ?: ''}
    """

    stub:
    """
    # code ${code}
    mkdir labels
    touch '${meta.id}.labels.zip' 'labels/${meta.id}.whole_cell.ome.tif' '${meta.id}.postprocess.timings.csv'
    """
}
