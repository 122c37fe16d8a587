#!/bin/sh
# GET /cgi-bin/disks tells the disks that the guest sees, one a line: name, size in bytes, serial.
printf 'Content-Type: text/plain\r\n\r\n'
for disk in /sys/block/vd* /sys/block/sd*; do
    [ -e "$disk/size" ] || continue
    echo "${disk##*/} $(($(cat "$disk/size") * 512)) $(cat "$disk/serial" 2>/dev/null)"
done
