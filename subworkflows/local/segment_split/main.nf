// A process per phase: the files between them stay in the work folder, and each phase can be repeated alone.

include { codeOf                         } from '../launch/main'
include { PREPROCESS_IMAGES              } from '../../../modules/local/preprocess_images/main'
include { INFER_TILES                    } from '../../../modules/local/infer_tiles/main'
include { INFER_TILES as INFER_TILES_CPU } from '../../../modules/local/infer_tiles/main'
include { POSTPROCESS_LABELS             } from '../../../modules/local/postprocess_labels/main'
include { MEASURE_CELLS                  } from '../../../modules/local/measure_cells/main'

workflow SEGMENT_SPLIT {
    take:
    batches // [meta, record, record with what only the measurement depends on, files]
    model // the one prepared model
    manifest // its text
    thresholds // what samples are judged by

    main:
    ch_segmented = batches.map { meta, record, _measured, files -> [meta, record, files] }
    ch_records = batches.map { meta, record, _measured, _files -> [meta, record] }
    ch_measured = batches.map { meta, _record, measured, files -> [meta, measured, files] }

    PREPROCESS_IMAGES(ch_segmented, manifest, codeOf(projectDir, 'preprocess_images'))
    // a large image is inferred by several tasks at once, and labelled when all its heads are there; the plan may give a
    // share of the batches to machines without GPU
    ch_shards = PREPROCESS_IMAGES.out.pixels
        .flatMap { meta, pixels -> (0..<meta.shards).collect { shard -> [meta, shard, pixels] } }
        .branch { meta, _shard, _pixels ->
            cpu: meta.device == 'cpu'
            any: true
        }
    def code = codeOf(projectDir, 'infer_tiles')
    INFER_TILES(ch_shards.any, model, code)
    INFER_TILES_CPU(ch_shards.cpu, model, code)
    ch_inferred = INFER_TILES.out.heads.mix(INFER_TILES_CPU.out.heads)
    ch_heads = ch_inferred
        .map { meta, heads -> [groupKey(meta, meta.shards), heads] }
        .groupTuple()
        .map { key, heads -> [key.getGroupTarget(), heads.sort { a, b -> a.name <=> b.name }] }
    POSTPROCESS_LABELS(ch_records.join(ch_heads), manifest, codeOf(projectDir, 'postprocess_labels'))
    MEASURE_CELLS(ch_measured.join(POSTPROCESS_LABELS.out.labels), thresholds, codeOf(projectDir, 'measure_cells'))

    // named before they are emitted: the newer parser of Nextflow 25.04 loses a name that is given under `emit`
    summary = MEASURE_CELLS.out.summary
    timings = PREPROCESS_IMAGES.out.timings.mix(INFER_TILES.out.timings, INFER_TILES_CPU.out.timings, POSTPROCESS_LABELS.out.timings, MEASURE_CELLS.out.timings)
    failed = PREPROCESS_IMAGES.out.failed.mix(INFER_TILES.out.failed, INFER_TILES_CPU.out.failed, POSTPROCESS_LABELS.out.failed, MEASURE_CELLS.out.failed)
    handoffs = PREPROCESS_IMAGES.out.pixels.mix(ch_inferred, POSTPROCESS_LABELS.out.labels).map { _meta, handoff -> handoff }

    emit:
    summary
    timings
    failed
    handoffs
}
