// For other pipelines: one image per task, with the inputs and outputs of nf-core's deepcell/mesmer, and more of the latter.
// This pipeline itself puts many images into a task and does not use it. It needs `cellbatch` on the PATH or in the container.
process CELLBATCH_SEGMENT {
    tag "${meta.id}"
    label 'process_medium'
    container 'cellbatch:0.1.0-cpu'

    input:
    tuple val(meta), path(img, stageAs: 'nuclear/*')
    tuple val(meta2), path(membrane_img, stageAs: 'membrane/*')

    output:
    tuple val(meta), path("${prefix}.tif"), emit: mask
    tuple val(meta), path("labels/${prefix}.*.ome.tif"), emit: labels
    tuple val(meta), path("cells/${prefix}.cells.*"), emit: cells
    tuple val(meta), path("qc/${prefix}.*"), emit: overlays
    tuple val(meta), path("shapes/${prefix}.*"), optional: true, emit: shapes
    tuple val(meta), path("zarr/${prefix}.ome.zarr"), optional: true, emit: zarr
    tuple val(meta), path("spatialdata/${prefix}.zarr"), optional: true, emit: spatialdata
    path 'versions.yml', emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    cellbatch segment --nuclear-image ${img} ${membrane_img ? "--membrane-image ${membrane_img}" : ''} \\
        --outdir . --sample '${prefix}' --output-name '${prefix}.tif' --threads ${task.cpus} ${task.ext.args ?: ''}
    printf '"%s":\\n    cellbatch: %s\\n' '${task.process}' "\$(cellbatch --version)" > versions.yml
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir labels cells qc
    touch '${prefix}.tif' 'labels/${prefix}.whole_cell.ome.tif' 'cells/${prefix}.cells.parquet' 'qc/${prefix}.overlay.png'
    printf '"%s":\\n    cellbatch: stub\\n' '${task.process}' > versions.yml
    """
}
