module vmsnapshot/tools/vm-operator-crds

go 1.26

require github.com/vmware-tanzu/vm-operator v1.10.0
