remora_library(remora_test_documents
    SOURCES support/documents.c
    PUBLIC remora_text remora_test_support
    PRIVATE PkgConfig::ZLIB PkgConfig::ZSTD)
foreach(module utf8 stream medline jsonl importer input tokenizer tokenizer_vectors model_traits sample staging prepare synth bigram)
    remora_unit_test(${module} remora_test_documents remora_text remora_shards)
endforeach()
target_link_libraries(test_bigram PRIVATE m)
