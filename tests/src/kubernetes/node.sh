#!/bin/bash
# One Kubernetes node, run by kubernetes.rs in mount and network namespaces of its own:
#
#   node.sh PROGRAMS FOLDER IMAGE.tar...
#
# PROGRAMS holds the server programs; FOLDER takes state and logs and, once the node is Ready, the file `ready`.
# Process ids are the machine's own, as the agent needs them. kubernetes.rs ends everything that this starts.
set -euo pipefail
programs=$1 folder=$2
shift 2
cd "$folder"
mkdir -p cni log certs
# What the daemons write outside their folder stays in this mount namespace.
for tree in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs "$tree"; done
mkdir -p /run/kubelet /run/lock /var/lib/sensor
mount -t tmpfs tmpfs /run/kubelet
mount --make-rshared /run/kubelet
# Kernel settings that the kubelet insists on writing are stand-in files: the machine's stay as they are.
for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1; do
    file=/run/sysctl-$(basename "${pair%=*}")
    echo "${pair#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${pair%=*}"
done
# The node's address, and the service's, which there is no kube-proxy to translate.
ip link set lo up
ip link add node0 type bridge
ip addr add 10.88.90.1/24 dev node0
ip addr add 10.88.96.1/32 dev node0
ip link set node0 up

cd certs
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=apiserver -keyout api.key -out api.csr 2>/dev/null
echo 'subjectAltName=IP:127.0.0.1,IP:10.88.90.1,IP:10.88.96.1,DNS:kubernetes.default.svc' >api.ext
openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile api.ext -out api.crt 2>/dev/null
openssl genrsa -out sa.key 2048 2>/dev/null
cd ..
echo 'admin-token,admin,1,"system:masters"' >tokens.csv
cat >kubeconfig <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1", certificate-authority: $folder/certs/ca.crt}}]
users: [{name: admin, user: {token: admin-token}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
END
cat >cni/10-bridge.conflist <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
 "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "10.88.77.0/24"}]],
 "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
# restrict_oom_score_adj: root may lack CAP_SYS_RESOURCE.
cat >containerd.toml <<END
version = 2
root = "$folder/containerd"
state = "/run/containerd"
[grpc]
  address = "$folder/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.test/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
END
start() {
    name=$1
    shift
    "$@" >>"log/$name" 2>&1 </dev/null &
    echo $! >"log/$name.pid"
}
start_api() {
    start apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:23790 --bind-address=0.0.0.0 \
        --advertise-address=10.88.90.1 --secure-port=443 --insecure-port=0 --tls-cert-file=certs/api.crt \
        --tls-private-key-file=certs/api.key --service-account-issuer=https://kubernetes.default.svc \
        --service-account-signing-key-file=certs/sa.key --service-account-key-file=certs/sa.key \
        --token-auth-file=tokens.csv --authorization-mode=RBAC --service-cluster-ip-range=10.88.96.0/24 \
        --allow-privileged=true --kubelet-preferred-address-types=InternalIP
}
api() { curl -sf -m 2 --cacert certs/ca.crt -H 'Authorization: Bearer admin-token' "https://127.0.0.1$1" 2>/dev/null; }
start etcd etcd --data-dir "$folder/etcd" --listen-client-urls http://127.0.0.1:23790 \
    --advertise-client-urls http://127.0.0.1:23790 --listen-peer-urls http://127.0.0.1:23800
start containerd containerd -c containerd.toml
start_api
until api /readyz >/dev/null; do sleep .2; done
start controllers "$programs/kube-controller-manager" --kubeconfig=kubeconfig --bind-address=127.0.0.1 --port=0 \
    --secure-port=16457 --cert-dir=certs/controllers --service-account-private-key-file=certs/sa.key \
    --root-ca-file=certs/ca.crt --leader-elect=false
start scheduler "$programs/kube-scheduler" --kubeconfig=kubeconfig --bind-address=127.0.0.1 --port=0 \
    --secure-port=16459 --cert-dir=certs/scheduler --leader-elect=false
for image in "$@"; do ctr -a containerd.sock -n k8s.io images import "$image" >/dev/null; done
start kubelet "$programs/kubelet" --kubeconfig=kubeconfig --hostname-override=node-a --node-ip=10.88.90.1 \
    --container-runtime=remote --container-runtime-endpoint="unix://$folder/containerd.sock" \
    --cgroup-driver=cgroupfs --fail-swap-on=false --root-dir=/run/kubelet --cert-dir="$folder/certs/kubelet" \
    --address=10.88.90.1 --port=10250 --read-only-port=0 --healthz-port=0 \
    --authentication-token-webhook=false --anonymous-auth=true --authorization-mode=AlwaysAllow \
    --node-status-update-frequency=1s --eviction-hard= --image-gc-high-threshold=100 --runtime-cgroups=/ --kubelet-cgroups=/
until api /api/v1/nodes/node-a | tr -d ' \n' | grep -q '"type":"Ready","status":"True"'; do sleep .2; done
echo $SECONDS >ready
# The API server may be ended, and started again by the file `restart`.
while :; do
    if [ -e restart ]; then
        rm restart
        start_api
    fi
    sleep .1
done
