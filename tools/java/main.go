// Codegen writes the Java SDK of a Pulumi package from its schema.json.
//
//	codegen -schema schema.json -version 0.1.0 -out sdk
//
// It is a module of its own because Pulumi's generator for Java is, and requires an older release of Pulumi's modules
// than the others. The build file written here is Maven's, not Gradle's as the schema has it for SDKs that users make.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi-java/pkg/codegen/java"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"

	"vmsnapshot/tools/sdkfiles"
)

//go:embed pom.xml
var pom string

// resources is the folder in which the SDK looks for its version, and the language host for the plugin.
const resources = "src/main/resources/io/github/vmsnapshot/vmsnapshot/"

func main() {
	schemaPath := flag.String("schema", "schema.json", "the schema to read")
	version := flag.String("version", "", "the version that the SDK gets")
	out := flag.String("out", "sdk", "the folder that gets the folder java")
	flag.Parse()
	if err := run(*schemaPath, *version, filepath.Join(*out, "java")); err != nil {
		fmt.Fprintln(os.Stderr, "codegen:", err)
		os.Exit(1)
	}
}

func run(schemaPath, version, folder string) error {
	text, err := os.ReadFile(schemaPath)
	if err != nil {
		return err
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	spec.Version = version
	languages := map[string]schema.Language{"java": java.Importer}
	pkg, err := schema.ImportSpec(spec, languages, schema.ValidationOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", schemaPath, err)
	}
	plugin, err := pluginFile(spec)
	if err != nil {
		return err
	}
	others := map[string][]byte{
		"pom.xml":                 []byte(strings.ReplaceAll(pom, "@VERSION@", version)),
		resources + "plugin.json": plugin,
		resources + "version.txt": []byte(version + "\n"),
	}
	files, err := java.GeneratePackage("vmsnapshot-codegen", pkg, others, nil, false, false)
	if err != nil {
		return fmt.Errorf("%s: %w", schemaPath, err)
	}
	delete(files, "build.gradle")
	delete(files, "settings.gradle")
	if err := sdkfiles.ReplaceFolder(folder, files); err != nil {
		return err
	}
	fmt.Printf("%s: %d files\n", folder, len(files))
	return nil
}

// pluginFile says which plugin the SDK belongs to; the language host reads it out of the jar.
func pluginFile(spec schema.PackageSpec) ([]byte, error) {
	plugin := map[string]any{"resource": true, "name": spec.Name, "version": spec.Version}
	if spec.PluginDownloadURL != "" {
		plugin["server"] = spec.PluginDownloadURL
	}
	text, err := json.MarshalIndent(plugin, "", "  ")
	return append(text, '\n'), err
}
