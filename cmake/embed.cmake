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
