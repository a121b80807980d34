process PREPARE_MODEL {
    label 'process_single'

    input:
    path source, stageAs: 'source'
    val fingerprint
    val code

    output:
    path 'model', emit: model
    path 'manifest.json', emit: manifest
    tuple val("${task.process}"), val('onnxruntime'), eval('prepare_model.py --runtime'), topic: versions

    script:
    """
    # source ${fingerprint} code ${code}
    prepare_model.py --source source --output model --manifest manifest.json ${task.ext.args ?: ''}
    """

    stub:
    """
    # source ${fingerprint} code ${code}
    mkdir model
    cp source/manifest.json model/manifest.json
    cp source/manifest.json manifest.json
    """
}
