process PREVIEW_IMAGES {
    tag "${meta.id} (${meta.images})"
    label 'process_gpu'
    memory {
        def attempt = task.exitStatus in [75, 137] ? task.attempt : 1
        "${meta.machine_memory?.infer?.getAt(attempt - 1) ?: ([meta.memory.preprocess, meta.memory.infer].max() + 512) * attempt} MB"
    }
    machineType { meta.machine?.infer?.getAt(task.exitStatus in [75, 137] ? task.attempt - 1 : 0) }

    input:
    tuple val(meta), val(record), path(images, stageAs: 'images/?/*')
    path model
    path schema
    val code
    stdin

    output:
    path 'preview/*', emit: sheets

    script:
    """
    # code ${code}
    cat > batch.json <<'END_OF_RECORD'
    ${record}
    END_OF_RECORD
    preview_images.py --batch batch.json --images images --model '${model}' --schema '${schema}' --outdir preview --threads ${task.cpus}
    """

    stub:
    """
    # code ${code}
    mkdir preview
    touch 'preview/${meta.id}.preview.png'
    """
}
