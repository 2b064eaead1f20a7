#!/bin/sh
# What deploy/compose.yaml mounts and no repository holds, made once: deploy/secrets, deploy/partners. What is
# there is left as it is. A secret is a file of its own in a folder that is closed to the machine's other users;
# the file itself can be read, since each container has a user of its own.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p partners secrets
chmod 700 secrets

random() { openssl rand -hex 32; }
made() { test -s "secrets/$1" || { "$2" >"secrets/$1.new" && mv "secrets/$1.new" "secrets/$1"; }; }

made privacy random             # pseudonyms; with another one they are others
made tickets random             # tickets for EventSource
made grafana random             # of the user admin
made alertmanager_token random  # replace it by what your receivers expect

# The canary is a partner of its own.
key() { printf 'wrs_%s\n' "$(openssl rand -base64 33 | tr '+/' '-_' | tr -d '=\n')"; }
made canary_key key
hash="$(tr -d '\n' <secrets/canary_key | openssl dgst -sha256 -r | cut -d' ' -f1)"
touch partners/partners.toml
if ! grep -q '^\[canary\]' partners/partners.toml; then
  printf '\n[canary]\nkeys = ["sha256:%s"]\ncontent = ["wikitext"]\n' "$hash" >>partners/partners.toml
elif ! grep -q "$hash" partners/partners.toml; then
  echo "partners/partners.toml has another key of [canary] than secrets/canary_key: put \"sha256:$hash\" there" >&2
fi

# A certificate to try the edge with; a folder of your own is named by EDGE_CERTIFICATES.
test -s secrets/edge/fullchain.pem || {
  mkdir -p secrets/edge
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout secrets/edge/privkey.pem -out secrets/edge/fullchain.pem 2>/dev/null
  chmod 644 secrets/edge/privkey.pem
}
