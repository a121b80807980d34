// One task for all phases of a batch: nothing is handed over, and the phases overlap.

include { codeOf        } from '../launch/main'
include { SEGMENT_BATCH } from '../../../modules/local/segment_batch/main'

workflow SEGMENT_FUSED {
    take:
    batches // [meta, record, record with what the measurement depends on, too, files]
    model // the one prepared model
    thresholds // what samples are judged by

    main:
    ch_measured = batches.map { meta, _record, measured, files -> [meta, measured, files] }
    SEGMENT_BATCH(ch_measured, model, thresholds, codeOf(projectDir, 'segment_batch'))

    // named before they are emitted: the newer parser of Nextflow 25.04 loses a name that is given under `emit`
    summary = SEGMENT_BATCH.out.summary
    timings = SEGMENT_BATCH.out.timings
    failed = SEGMENT_BATCH.out.failed

    emit:
    summary
    timings
    failed
}
