# Turns a file into the list of its bytes, for `static const char x[] = { #include "..." };`.
# cmake -DIN=file -DOUT=file.inc -P embed.cmake
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)"
       "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "${bytes}0x00\n")
