include { machineOf; memoryOf } from '../../../subworkflows/local/launch/main'

process PREVIEW_IMAGES {
    tag "${meta.id} (${meta.images})"
    label 'process_gpu'
    memory { memoryOf(task, [meta.memory.preprocess, meta.memory.infer].max() + 512, meta.machine_memory?.infer) }
    machineType { machineOf(task, meta.machine?.infer, meta.machine_memory?.infer) }

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
