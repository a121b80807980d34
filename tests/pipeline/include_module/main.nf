// Somebody else's pipeline: it includes the module and knows nothing else of cellbatch.
include { CELLBATCH_SEGMENT } from '../../../modules/cellbatch/segment/main'

params.images = "${projectDir}/../../../assets/test/*.ome.tif"
params.with_membrane = true

workflow {
    images = channel.fromPath(params.images).map { image -> [[id: image.simpleName], image] }
    membranes = images.map { meta, image -> [meta, params.with_membrane ? image : []] }
    CELLBATCH_SEGMENT(images, membranes)
    CELLBATCH_SEGMENT.out.mask.view { meta, mask -> "mask ${meta.id} ${mask}" }
    CELLBATCH_SEGMENT.out.labels.view { meta, labels -> "labels ${meta.id} ${[labels].flatten().size()}" }
    CELLBATCH_SEGMENT.out.overlays.view { meta, pictures -> "overlays ${meta.id} ${[pictures].flatten().size()}" }
    CELLBATCH_SEGMENT.out.versions.first().view { file -> file.text }
}
