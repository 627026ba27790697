if(CONFIG_QATVIZ_@PREFIX@)
  zephyr_library_named(qatviz_@name@)
  zephyr_library_sources(@zephyr_sources@)
  zephyr_include_directories(${CMAKE_CURRENT_SOURCE_DIR}/../src)
  if(CONFIG_X86)
    # Threads keep the registers of vector instructions only where they are configured to.
    zephyr_library_compile_definitions(QATVIZ_NN_PORTABLE)
  endif()
  if(CONFIG_QATVIZ_@PREFIX@_CMSIS_NN)
    zephyr_library_compile_definitions(
      QATVIZ_NN_USE_CMSIS_NN QATVIZ_NN_CMSIS_BYTES=${CONFIG_QATVIZ_@PREFIX@_CMSIS_NN_BYTES})
    # For CMSIS-NN's sources as well.
    zephyr_compile_definitions(CMSIS_NN_USE_SINGLE_ROUNDING)
  endif()
  if(NOT "${CONFIG_QATVIZ_@PREFIX@_HOOKS}" STREQUAL "")
    zephyr_library_compile_definitions(@PREFIX@_HOOKS="${CONFIG_QATVIZ_@PREFIX@_HOOKS}")
  endif()
endif()
