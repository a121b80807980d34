// One task for all phases of a batch: nothing is handed over, and the phases overlap.

include { codeOf                             } from '../launch/main'
include { SEGMENT_BATCH                      } from '../../../modules/local/segment_batch/main'
include { SEGMENT_BATCH as SEGMENT_BATCH_CPU } from '../../../modules/local/segment_batch/main'

workflow SEGMENT_FUSED {
    take:
    batches // [meta, record, record with what the measurement depends on, too, files]
    model // the one prepared model
    thresholds // what samples are judged by

    main:
    // the plan may give a share of the batches to machines without GPU
    ch_measured = batches
        .map { meta, _record, measured, files -> [meta, measured, files] }
        .branch { meta, _measured, _files ->
            cpu: meta.device == 'cpu'
            any: true
        }
    def code = codeOf(projectDir, 'segment_batch')
    SEGMENT_BATCH(ch_measured.any, model, thresholds, code)
    SEGMENT_BATCH_CPU(ch_measured.cpu, model, thresholds, code)

    // named before they are emitted: the newer parser of Nextflow 25.04 loses a name that is given under `emit`
    summary = SEGMENT_BATCH.out.summary.mix(SEGMENT_BATCH_CPU.out.summary)
    timings = SEGMENT_BATCH.out.timings.mix(SEGMENT_BATCH_CPU.out.timings)
    failed = SEGMENT_BATCH.out.failed.mix(SEGMENT_BATCH_CPU.out.failed)

    emit:
    summary
    timings
    failed
}
