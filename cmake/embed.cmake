# remora_embed(<target> <symbol> <file>): generates <symbol>.h/.c holding the file's bytes as
# `extern const char <symbol>[]; extern const size_t <symbol>_size;` (a NUL follows the last byte).
function(remora_embed target symbol file)
    set(output ${PROJECT_BINARY_DIR}/generated/embedded)
    add_custom_command(
        OUTPUT ${output}/${symbol}.c ${output}/${symbol}.h
        COMMAND ${CMAKE_COMMAND} -DINPUT=${file} -DSYMBOL=${symbol} -DOUTPUT=${output}
                -P ${PROJECT_SOURCE_DIR}/cmake/embed_file.cmake
        DEPENDS ${file} ${PROJECT_SOURCE_DIR}/cmake/embed_file.cmake
        VERBATIM)
    target_sources(${target} PRIVATE ${output}/${symbol}.c ${output}/${symbol}.h)
endfunction()

# remora_embed_schema(<target> <symbol> <schema|openrpc> <file>): remora_embed of a schema, once the
# validator has said that it knows every keyword in it.
function(remora_embed_schema target symbol kind file)
    set(stamp ${PROJECT_BINARY_DIR}/generated/${symbol}.checked)
    add_custom_command(
        OUTPUT ${stamp}
        COMMAND remora-schema-check ${kind} ${file}
        COMMAND ${CMAKE_COMMAND} -E touch ${stamp}
        DEPENDS remora-schema-check ${file}
        COMMENT "Checking ${file}"
        VERBATIM)
    remora_embed(${target} ${symbol} ${file})
    target_sources(${target} PRIVATE ${stamp})
endfunction()
