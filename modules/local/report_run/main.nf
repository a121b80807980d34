process REPORT_RUN {
    label 'process_single'

    input:
    path summaries, stageAs: 'summaries/*'
    path timings, stageAs: 'timings/*'
    path plan
    path failed, stageAs: 'failed/?/*'
    path rows
    val manifest
    path config
    val code
    stdin

    output:
    path 'multiqc_report.html', emit: report
    path 'summary.csv', emit: summary
    path 'rerun_samplesheet.csv', optional: true, emit: rerun
    path 'failed.txt', optional: true, emit: failed
    path 'timings.csv', emit: timings
    path 'params.json', emit: parameters
    path 'software_versions.yml', emit: versions

    script:
    """
    # code ${code}
    mkdir model
    cat > model/manifest.json <<'END_OF_MANIFEST'
    ${manifest}
    END_OF_MANIFEST
    report_run.py --summaries summaries --timings timings --plan '${plan}' --failed failed --rows '${rows}' --model model \\
        --config '${config}' --outdir . ${task.ext.args ?: ''}
    """

    stub:
    """
    # code ${code}
    touch multiqc_report.html summary.csv timings.csv params.json software_versions.yml
    """
}
