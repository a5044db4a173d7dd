module vmsnapshot/tools/sdkfiles

go 1.26
