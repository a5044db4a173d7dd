// VM snapshots and revert as infrastructure as code.
package vmsnapshot
