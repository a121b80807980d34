include { machineOf; memoryOf } from '../../../subworkflows/local/launch/main'

process PREPROCESS_IMAGES {
    tag "${meta.id} (${meta.images})"
    label 'process_medium'
    memory { memoryOf(task, meta.memory.preprocess, meta.machine_memory?.preprocess) }
    machineType { machineOf(task, meta.machine?.preprocess, meta.machine_memory?.preprocess) }

    input:
    tuple val(meta), val(record), path(images, stageAs: 'images/?/*')
    val manifest
    val code

    output:
    tuple val(meta), path("${meta.id}.pixels.zip"), optional: true, emit: pixels
    path "${meta.id}.preprocess.timings.csv", emit: timings
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
    preprocess_images.py --batch batch.json --images images --model model --output '${meta.id}.pixels.zip' \\
        --timings '${meta.id}.preprocess.timings.csv' --processes ${task.cpus} ${task.ext.args ?: ''}
    """

    stub:
    """
    # code ${code}
    touch '${meta.id}.pixels.zip' '${meta.id}.preprocess.timings.csv'
    """
}
