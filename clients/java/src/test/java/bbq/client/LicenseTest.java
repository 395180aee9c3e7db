package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** What the jar has besides classes. */
class LicenseTest {
  @Test
  void theTextsOfBothLicencesAreInTheJar() throws Exception {
    for (String name : new String[] {"LICENSE-MIT", "LICENSE-APACHE"}) {
      try (InputStream text = Client.class.getResourceAsStream("/META-INF/" + name)) {
        assertNotNull(text, name);
        assertEquals(Files.readString(Path.of("../..", name)), new String(text.readAllBytes()));
      }
    }
  }
}
