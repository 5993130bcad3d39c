import com.structurizr.Workspace;
import com.structurizr.dsl.StructurizrDslParser;
import com.structurizr.export.Diagram;
import com.structurizr.export.dot.DOTExporter;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes each view of a Structurizr workspace as a DOT file: `java Export.java workspace.dsl folder`. */
class Export {
    public static void main(String[] arguments) throws Exception {
        StructurizrDslParser parser = new StructurizrDslParser();
        parser.parse(new File(arguments[0]));
        Workspace workspace = parser.getWorkspace();
        for (Diagram diagram : new DOTExporter().export(workspace)) {
            Files.writeString(Path.of(arguments[1], diagram.getKey() + ".dot"), diagram.getDefinition());
        }
    }
}
