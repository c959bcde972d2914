#!/bin/bash
# Builds the server programs of Kubernetes 1.20.2 from Debian bookworm's source package: build.sh WORK PROGRAMS
set -euo pipefail
work=$1 programs=$2
mkdir -p "$work/apt/lists/partial" "$work/src/k8s.io" "$programs"
# A package list of its own: bookworm's sources, whatever release this machine has.
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm main" >"$work/apt/sources.list"
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$work/apt/lists" -o APT::Sandbox::User=root "$@"
}
cd "$work"
apt update
apt source --download-only kubernetes
tar xzf kubernetes_*.orig.tar.gz
ln -sfn "$work/kubernetes-1.20.2" src/k8s.io/kubernetes
cd src/k8s.io/kubernetes
# The vendored tree is older than today's module rules: without them it builds.
export GO111MODULE=off GOFLAGS= GOPATH=$work GOCACHE=$work/cache CGO_ENABLED=0
vendor=k8s.io/kubernetes/vendor/k8s.io
# The vendored reflect2 crashes with Go 1.18 and later.
rm -f vendor/github.com/modern-go/reflect2/*.{go,s}
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} vendor/github.com/modern-go/reflect2/
# One generated file is not in the package; its generator is.
if [ ! -e pkg/generated/openapi/zz_generated.openapi.go ]; then
    go build -o "$work/openapi-gen" $vendor/kube-openapi/cmd/openapi-gen
    inputs=$(grep -rl --include='*.go' '+k8s:openapi-gen=' vendor/k8s.io pkg staging/src/k8s.io |
        xargs -n1 dirname | sort -u | grep -v -E '/_examples/|sample-|kube-openapi/' |
        sed -E "s,^(staging/src|vendor)/k8s.io,$vendor,; s,^pkg/,k8s.io/kubernetes/pkg/," | sort -u | paste -sd,)
    "$work/openapi-gen" -h hack/boilerplate/boilerplate.generatego.txt -O zz_generated.openapi \
        -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi -r "$work/openapi-violations"
fi
flags="-s -w"
for package in component-base client-go/pkg; do
    flags+=" -X $vendor/$package/version.gitVersion=v1.20.2 -X $vendor/$package/version.gitMajor=1 -X $vendor/$package/version.gitMinor=20"
done
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet; do
    go build -ldflags "$flags" -o "$programs/$program.new" k8s.io/kubernetes/cmd/$program
    mv "$programs/$program.new" "$programs/$program"
done
