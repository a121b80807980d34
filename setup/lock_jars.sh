#!/usr/bin/env bash
# Writes setup/nextflow_jars.txt: what setup/pom.xml resolves to, with checksums. Run after a change of the POM.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
mvn -B -q -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$scratch/lib"
mvn -B -q -f pom.xml dependency:list -DincludeScope=runtime -DoutputFile="$scratch/list"

{
    echo "# What setup/pom.xml resolves to: SHA-256, then group:artifact:version. Written by setup/lock_jars.sh."
    sed -nE 's/^ +([^: ]+):([^: ]+):jar:([^: ]+):.*/\1 \2 \3/p' "$scratch/list" | LC_ALL=C sort |
        while read -r group artifact version; do
            checksum="$(sha256sum "$scratch/lib/$artifact-$version.jar" | cut -d' ' -f1)"
            echo "$checksum  $group:$artifact:$version"
        done
} > "$scratch/jars"
mv "$scratch/jars" nextflow_jars.txt
