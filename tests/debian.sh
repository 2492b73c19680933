# Programs of Debian's packages in a folder, for scripts that `source` this. They are unpacked, not installed: that needs no
# root, and starts no service. The script has `fail`, which says why it ends.

# unpack_program PACKAGE FILE FOLDER: makes a program in the folder, with the file's name, which runs this file of the package.
# It finds the libraries that the machine lacks in the packages that this one depends on; the C library is the machine's.
unpack_program() {
    local package=$1 file=$2 folder=$3 name=${2##*/} new libraries queue=("$1") dependency
    new=$(mktemp -d "$folder/.new.XXXXXX")
    trap 'rm -rf "'"$new"'"' EXIT
    unpack "$package" "$new"
    while [ ${#queue[@]} != 0 ] && lacks_libraries "$new/files/$file" "$new/files"; do
        for dependency in $(apt-cache depends "${queue[0]}" | sed -n 's/^ *Depends: \(lib.*\)/\1/p' | grep -vx libc6); do
            compgen -G "$new/${dependency}_*.deb" >/dev/null && continue
            unpack "$dependency" "$new"
            queue+=("$dependency")
        done
        queue=("${queue[@]:1}")
    done
    rm -rf "${folder:?}/$name.files"
    mv "$new/files" "$folder/$name.files"
    rm -rf "$new"
    libraries=$(libraries_in "$folder/$name.files")
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/$name.files/$file" >"$folder/$name"
    chmod +x "$folder/$name"
}

lacks_libraries() {
    [[ $(LD_LIBRARY_PATH=$(libraries_in "$2") ldd "$1") == *"not found"* ]]
}

libraries_in() {
    find "$1" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd: -
}

unpack() {
    (cd "$2" && download "$1")
    dpkg-deb --extract "$2/$1"_*.deb "$2/files"
}

# The lists of packages may be missing, or older than the packages that there are.
download() {
    local log
    log=$(mktemp .log.XXXXXX)
    if ! apt-get download "$1" >"$log" 2>&1; then
        [ "$(id -u)" != 0 ] || apt-get update >>"$log" 2>&1 || true
        apt-get download "$1" >>"$log" 2>&1 || fail "the package $1 can't be had: $(tail -1 "$log")
  Update the lists of packages (as root: apt-get update) and run this again, or install it."
    fi
}
