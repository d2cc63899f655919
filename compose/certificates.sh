#!/bin/sh
# Makes what the members named as arguments trust each other by: one authority, one certificate a member, one hash key.
# Each member gets a folder of its own under /out. What is there already is kept; the authority's key is kept nowhere.
set -eu
umask 077

OUT=/out
DAYS=825
# The user of shardlet's image.
OWNER=65532:65532

all_there() {
  for member; do
    for file in ca.crt member.crt member.key hash.key; do
      [ -s "$OUT/$member/$file" ] || return 1
    done
  done
}

# $1 is the member's id and its host name; peers accept a certificate that carries either, for both ends of a connection.
issue() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$OUT/$1/member.key" -out member.csr
  cat >extensions <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:$1
END
  openssl x509 -req -in member.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days "$DAYS" -sha256 \
    -extfile extensions -out "$OUT/$1/member.crt"
  cp ca.crt hash.key "$OUT/$1/"
  chown -R "$OWNER" "$OUT/$1"
  chmod 500 "$OUT/$1"
  chmod 400 "$OUT/$1"/*
}

if all_there "$@"; then
  echo "the certificates are there"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$DAYS" -sha256 -subj "/CN=shardlet members" \
  -addext "keyUsage = critical, keyCertSign, cRLSign" -keyout ca.key -out ca.crt
openssl rand -hex 16 >hash.key
for member; do
  rm -f "$OUT/$member"/*
  issue "$member"
done
echo "made certificates for $*"
