# Certificates, tokens and kubeconfigs of one run, in FOLDER/secrets. Sourced by up.sh.
# shellcheck shell=bash disable=SC2154

# make_secrets FOLDER NODES
make_secrets() {
  local secrets=$1/secrets nodes=$2 number
  mkdir -p "$secrets"
  (
    cd "$secrets"
    exec 2>openssl.log
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=ringhold-test -keyout ca.key -out ca.crt
    certificate apiserver /CN=kube-apiserver "DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:${node_ips[1]},IP:$api_service"
    certificate kubelet-client /O=system:masters/CN=kube-apiserver DNS:kube-apiserver
    openssl genrsa -out service-accounts.key 2048
  ) || fail "openssl failed: $(tail -n 3 "$secrets/openssl.log")"
  identity "$secrets" admin admin system:masters
  identity "$secrets" controller-manager system:kube-controller-manager ""
  identity "$secrets" scheduler system:kube-scheduler ""
  identity "$secrets" proxy system:kube-proxy ""
  for ((number = 1; number <= nodes; number++)); do
    identity "$secrets" "node-$number" "system:node:node-$number" system:nodes
  done
  cp "$secrets/admin.kubeconfig" "$1/kubeconfig"
  # What programs in pods ask for; Kubernetes' own are left out.
  cat >"$secrets/audit.yaml" <<YAML
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
  - {level: Metadata, userGroups: ["system:serviceaccounts"]}
  - {level: None}
YAML
}

certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3")
}

# identity SECRETS NAME USER GROUP: a token that the API server knows, and the kubeconfig with it.
identity() {
  local token
  token=$(openssl rand -hex 16)
  echo "$token,$3,$2,$4" >>"$1/tokens.csv"
  cat >"$1/$2.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: ringhold-test
clusters:
  - {name: ringhold-test, cluster: {server: "$server", certificate-authority-data: $(base64 -w 0 "$1/ca.crt")}}
contexts:
  - {name: ringhold-test, context: {cluster: ringhold-test, user: $2}}
users:
  - {name: $2, user: {token: $token}}
YAML
}
