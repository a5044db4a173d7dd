package vm

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// tree is a machine's snapshot tree with its current pointer. Its edits change the
// copy they are called on.
type tree struct {
	roots   []types.VirtualMachineSnapshotTree
	current *types.ManagedObjectReference
}

// treeOf copies the tree of info, which is nil for a machine without snapshots.
func treeOf(info *types.VirtualMachineSnapshotInfo) *tree {
	if info == nil {
		return &tree{}
	}
	copied := clone(*info)
	return &tree{copied.RootSnapshotList, copied.CurrentSnapshot}
}

// changes make the tree the machine's. Without snapshots `snapshot` is unset.
func (t *tree) changes() []types.PropertyChange {
	if len(t.roots) == 0 {
		return []types.PropertyChange{{Name: "snapshot"}, {Name: "rootSnapshot"}}
	}
	roots := make([]types.ManagedObjectReference, len(t.roots))
	for i := range t.roots {
		roots[i] = t.roots[i].Snapshot
	}
	return []types.PropertyChange{
		{Name: "snapshot", Val: types.VirtualMachineSnapshotInfo{
			CurrentSnapshot:  t.current,
			RootSnapshotList: t.roots,
		}},
		{Name: "rootSnapshot", Val: roots},
	}
}

// path returns the nodes from a root to ref, or nil if it isn't in the tree.
func (t *tree) path(ref types.ManagedObjectReference) []*types.VirtualMachineSnapshotTree {
	var search func([]types.VirtualMachineSnapshotTree) []*types.VirtualMachineSnapshotTree
	search = func(nodes []types.VirtualMachineSnapshotTree) []*types.VirtualMachineSnapshotTree {
		for i := range nodes {
			if nodes[i].Snapshot == ref {
				return []*types.VirtualMachineSnapshotTree{&nodes[i]}
			}
			if below := search(nodes[i].ChildSnapshotList); below != nil {
				return append([]*types.VirtualMachineSnapshotTree{&nodes[i]}, below...)
			}
		}
		return nil
	}
	return search(t.roots)
}

// find returns the node of ref, or nil.
func (t *tree) find(ref types.ManagedObjectReference) *types.VirtualMachineSnapshotTree {
	path := t.path(ref)
	if path == nil {
		return nil
	}
	return path[len(path)-1]
}

// depth is how many snapshots the current chain holds.
func (t *tree) depth() int {
	if t.current == nil {
		return 0
	}
	return len(t.path(*t.current))
}

// add hangs node under the current snapshot and makes it the current one. It
// returns the parent, or nil for a new root.
func (t *tree) add(node types.VirtualMachineSnapshotTree) *types.ManagedObjectReference {
	parent := t.current
	siblings := &t.roots
	if parent != nil {
		siblings = &t.find(*parent).ChildSnapshotList
	}
	*siblings = append(*siblings, node)
	t.current = &node.Snapshot
	return parent
}

// remove takes ref out of the tree and returns what was removed. With children the
// whole subtree goes, without they move up to the parent; a current snapshot that
// goes hands over to the parent.
func (t *tree) remove(ref types.ManagedObjectReference, children bool) []types.ManagedObjectReference {
	path := t.path(ref)
	if path == nil {
		return nil
	}
	node := path[len(path)-1]
	removed := []types.ManagedObjectReference{ref}
	var raised []types.VirtualMachineSnapshotTree
	if children {
		removed = refs([]types.VirtualMachineSnapshotTree{*node})
	} else {
		raised = node.ChildSnapshotList
	}

	siblings := &t.roots
	var parent *types.ManagedObjectReference
	if len(path) > 1 {
		above := path[len(path)-2]
		siblings, parent = &above.ChildSnapshotList, &above.Snapshot
	}
	if t.current != nil && slices.Contains(removed, *t.current) {
		if parent == nil {
			t.current = nil
		} else {
			moved := *parent
			t.current = &moved
		}
	}
	i := slices.IndexFunc(*siblings, func(n types.VirtualMachineSnapshotTree) bool { return n.Snapshot == ref })
	*siblings = slices.Replace(*siblings, i, i+1, raised...)
	return removed
}

// refs lists every snapshot at and below nodes, parents first.
func refs(nodes []types.VirtualMachineSnapshotTree) []types.ManagedObjectReference {
	var all []types.ManagedObjectReference
	for i := range nodes {
		all = append(all, nodes[i].Snapshot)
		all = append(all, refs(nodes[i].ChildSnapshotList)...)
	}
	return all
}

// children returns the children of each snapshot in the tree.
func (t *tree) children() map[types.ManagedObjectReference][]types.ManagedObjectReference {
	all := map[types.ManagedObjectReference][]types.ManagedObjectReference{}
	var walk func([]types.VirtualMachineSnapshotTree)
	walk = func(nodes []types.VirtualMachineSnapshotTree) {
		for i := range nodes {
			below := nodes[i].ChildSnapshotList
			list := make([]types.ManagedObjectReference, len(below))
			for j := range below {
				list[j] = below[j].Snapshot
			}
			all[nodes[i].Snapshot] = list
			walk(below)
		}
	}
	walk(t.roots)
	return all
}
