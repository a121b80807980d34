process PREPROCESS_IMAGES {
    tag "${meta.id} (${meta.images})"
    label 'process_medium'
    memory {
        def attempt = task.exitStatus in [75, 137] ? task.attempt : 1
        "${meta.machine_memory?.preprocess?.getAt(attempt - 1) ?: meta.memory.preprocess * attempt} MB"
    }
    machineType { meta.machine?.preprocess?.getAt(task.exitStatus in [75, 137] ? task.attempt - 1 : 0) }

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
