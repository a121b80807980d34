include { withoutSecrets } from '../../../subworkflows/local/launch/main'

process PREPARE_MODEL {
    tag "${task.ext.model ? withoutSecrets(task.ext.model) : name.take(12)}"
    label 'process_single'
    // models that were prepared once are kept there, under a name made of the source and of the conversion
    storeDir { task.ext.model_cache ? "${task.ext.model_cache}/${name}" : null }

    input:
    tuple val(name), path(source, stageAs: 'source/*')
    path tiles
    val fingerprint
    val code

    output:
    path 'model', emit: model
    path 'manifest.json', emit: manifest

    script:
    """
    # source ${name} ${fingerprint} code ${code}
    prepare_model.py --source source --output model --manifest manifest.json --tiles '${tiles}' ${task.ext.args ?: ''}
    """

    stub:
    """
    # source ${name} ${fingerprint} code ${code}
    mkdir model
    cp source/*/manifest.json model/manifest.json
    cp source/*/manifest.json manifest.json
    """
}
