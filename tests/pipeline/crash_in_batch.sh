#!/usr/bin/env bash
# One image of a batch of 20 crashes every process that opens it for preprocessing: 19 are delivered, one is named.
set -euo pipefail
mkdir crash_images crash_site
echo sample,image,nuclear_channel,membrane_channel >crash_sheet.csv
for number in $(seq 10 29); do
    cp assets/test/tissue_01.ome.tif "crash_images/s$number.ome.tif"
    echo "s$number,crash_images/s$number.ome.tif,0,1" >>crash_sheet.csv
done
# Python reads this file at its start, in front of everything
cat >crash_site/sitecustomize.py <<'END'
import os, signal, sys

def crash(event, arguments):
    if event == "open" and "s17.ome.tif" in str(arguments[0]) and "preprocess_images" in sys.argv[0]:
        os.kill(os.getpid(), signal.SIGSEGV)

sys.addaudithook(crash)
END
status=0
PYTHONPATH=$PWD/crash_site${PYTHONPATH:+:$PYTHONPATH} nextflow run main.nf --input crash_sheet.csv --keep_going || status=$?
delivered=$(find results/labels -name '*.whole_cell.ome.tif' | wc -l)
echo "exit status $status, $delivered of 20 delivered, left out: $(tail -n +2 results/rerun_samplesheet.csv | cut -d, -f1)"
