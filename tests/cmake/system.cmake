# All of it together: submit, train, die, resume, real text, bad input, and what the README says.
remora_integration_test(daemon_lost LABELS mpi long)
remora_integration_test(bad_input LABELS mpi CORES 1)
remora_integration_test(docs TIMEOUT 60 CORES 1)
remora_integration_test(docs_formats TIMEOUT 60 CORES 1)
remora_integration_test(doc_examples LABELS mpi long CORES 1)
if(NOT REMORA_SANITIZE) # minutes of matrix products and equal bits, which say nothing new there
    remora_integration_test(resume LABELS mpi long CORES 1)
    remora_integration_test(pubmed LABELS mpi long TIMEOUT 900)
    remora_integration_test(readme LABELS mpi long TIMEOUT 900)
else()
    remora_note_tests(integration/test_resume.py integration/test_pubmed.py integration/test_readme.py)
endif()
