process CHECK_RUN {
    label 'process_single'

    input:
    path failed
    val code

    script:
    """
    # code ${code}
    check_run.py --failed '${failed}'
    """

    stub:
    """
    # code ${code}
    check_run.py --failed '${failed}'
    """
}
