#!/usr/bin/env bash
# Makes what members need to trust each other, in this folder: an authority (ca.crt, ca.key), one certificate with all the
# names given (tls.crt, tls.key), and the hash key (hash.key). What is already there is kept, except the certificate.
#
#   bash deploy/certificates.sh NAME...       the members' ids, or the hosts of their addresses (names or IP addresses)
set -euo pipefail
umask 077

AUTHORITY_DAYS=3650
CERTIFICATE_DAYS=825

main() {
  (($#)) || { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
  [[ -e hash.key ]] || head -c 16 /dev/urandom >hash.key
  [[ -e ca.key ]] || authority
  certificate "$@"
  printf 'hash.key and ca.crt, tls.crt, tls.key go to every member; ca.key to none, it signs the next certificate\n'
}

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$AUTHORITY_DAYS" \
    -subj "/CN=registry peers" -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca.key -out ca.crt 2>/dev/null
}

# A member is a server to some and a client to others.
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=registry member" \
    -keyout tls.key -out tls.csr 2>/dev/null
  openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days "$CERTIFICATE_DAYS" -out tls.crt \
    -extfile <(printf '%s\n' "subjectAltName=$(names "$@")" "extendedKeyUsage=serverAuth,clientAuth" \
      "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature") 2>/dev/null
  rm tls.csr
}

names() {
  local name found=()
  for name in "$@"; do
    if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then found+=("IP:$name"); else found+=("DNS:$name"); fi
  done
  (IFS=,; printf '%s' "${found[*]}")
}

main "$@"
