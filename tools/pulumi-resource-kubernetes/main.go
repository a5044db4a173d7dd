// Pulumi-resource-kubernetes is the plugin of Pulumi's Kubernetes provider, for the test of
// examples/with-pulumi-kubernetes.
//
// It is a main of our own because the provider's embeds two files that its module lacks. Both are made from files
// that the module has: this reads them from the folder that it lies in, which devkit/setup/kubernetes.py fills.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

func main() {
	schema, mapping, err := embedded()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-kubernetes:", err)
		os.Exit(1)
	}
	provider.Serve("kubernetes", version.Version, schema, mapping)
}

// embedded gives the two files: the schema, with the version that is to be put into it, and the mapping.
func embedded() (schema, mapping []byte, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	folder := filepath.Dir(program)
	text, err := os.ReadFile(filepath.Join(folder, "schema.json"))
	if err != nil {
		return nil, nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, nil, fmt.Errorf("schema.json: %w", err)
	}
	members["version"] = version.Version
	if schema, err = json.Marshal(members); err != nil {
		return nil, nil, err
	}
	mapping, err = os.ReadFile(filepath.Join(folder, "terraform-mapping.json"))
	return schema, mapping, err
}
