#!/usr/bin/env bash
# A kind cluster with Istio's gateway, the overlay manifests/overlays/kind and one request to it.
# `kind delete cluster --name epp` takes it away. Downloads: kind's node image, CRDs, Istio's charts.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-localhost/epp:0.1.0}
overlay=${2:-manifests/overlays/kind}
cluster=epp
context=kind-$cluster
istio=1.28.0
gateway_api=v1.5.1
inference_extension=v1.5.0
on() { kubectl --context "$context" "$@"; }

for program in docker kind kubectl helm curl; do
  command -v "$program" >/dev/null || { echo "make kind needs $program" >&2; exit 1; }
done
kind get clusters | grep -qx "$cluster" || kind create cluster --name "$cluster" --wait 120s
kind load docker-image "$image" --name "$cluster"

releases=https://github.com/kubernetes-sigs
on apply --server-side -f "$releases/gateway-api/releases/download/$gateway_api/standard-install.yaml"
on apply --server-side -f "$releases/gateway-api-inference-extension/releases/download/$inference_extension/manifests.yaml"
for chart in base istiod; do
  helm --kube-context "$context" upgrade --install "istio-$chart" "$chart" --wait --timeout 5m \
    --repo https://istio-release.storage.googleapis.com/charts --version "$istio" \
    --namespace istio-system --create-namespace \
    --set pilot.env.ENABLE_GATEWAY_API_INFERENCE_EXTENSION=true
done

on apply -k "$overlay"
on -n inference wait --for=condition=Programmed --timeout=180s gateway/inference-gateway
on -n inference wait --for=condition=Available --timeout=180s deployment --all

on -n inference port-forward service/inference-gateway-istio 8080:80 >/dev/null &
forwarder=$!
trap 'kill $forwarder' EXIT
curl --fail --silent --show-error --retry 20 --retry-delay 1 --retry-all-errors \
  http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \
  -d '{"model": "sim", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}'
echo
echo "again: kubectl --context $context -n inference port-forward service/inference-gateway-istio 8080:80"
