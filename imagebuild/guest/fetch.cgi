#!/bin/sh
# GET /cgi-bin/fetch?URL makes the guest fetch URL: how a test proves name resolution and the way out from inside.
printf 'Content-Type: text/plain\r\n\r\n'
# (Time-limited from outside: the static busybox dies of its own -T.)
exec timeout 10 wget -q -O - "$QUERY_STRING" 2>&1
