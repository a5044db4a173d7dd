package wire

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"reflect"
	"regexp"

	"github.com/vmware/govmomi/vim25/types"
	vimxml "github.com/vmware/govmomi/vim25/xml"

	"vmsnapshot/simulator/internal/fault"
)

// WriteFault answers a request with a SOAP fault.
func WriteFault(w http.ResponseWriter, f types.BaseMethodFault, message string) error {
	name := reflect.TypeOf(f).Elem().Name()

	var out bytes.Buffer
	out.WriteString(xml.Header)
	out.WriteString(`<soapenv:Envelope xmlns:soapenv="` + soapNamespace + `"` +
		` xmlns:xsd="http://www.w3.org/2001/XMLSchema"` +
		` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
		`<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>`)
	if err := xml.EscapeText(&out, []byte(message)); err != nil {
		return err
	}
	out.WriteString(`</faultstring><detail>`)

	e := vimxml.NewEncoder(&out)
	start := vimxml.StartElement{
		Name: vimxml.Name{Local: name + "Fault"},
		Attr: []vimxml.Attr{
			{Name: vimxml.Name{Local: "xmlns"}, Value: "urn:vim25"},
			{Name: vimxml.Name{Local: "xsi:type"}, Value: name},
		},
	}
	if err := e.EncodeElement(f, start); err != nil {
		return err
	}
	if err := e.Flush(); err != nil {
		return err
	}
	out.WriteString(`</detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`)

	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, err := w.Write(out.Bytes())
	return err
}

var (
	// upstreamWords are the texts govmomi has in place of vCenter's: none, or its own.
	upstreamWords = regexp.MustCompile(`<faultstring>(|Login failure|managed object not found: [^<]*)</faultstring>`)
	faultType     = regexp.MustCompile(`<detail><\w+Fault [^>]*xsi:type="(\w+)"`)
)

// FillFaultString gives the fault in answer vCenter's words where govmomi has none
// or others: clients show this text to people.
func FillFaultString(answer []byte) []byte {
	words := upstreamWords.FindIndex(answer)
	match := faultType.FindSubmatch(answer)
	if words == nil || match == nil {
		return answer
	}
	var out bytes.Buffer
	out.Write(answer[:words[0]])
	out.WriteString("<faultstring>")
	if err := xml.EscapeText(&out, []byte(fault.Message(string(match[1])))); err != nil {
		return answer
	}
	out.WriteString("</faultstring>")
	out.Write(answer[words[1]:])
	return out.Bytes()
}
