package bbq.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What makes a profile valid. */
class ProfileTest {
  @TempDir Path directory;

  @Test
  void filesAreRelativeToTheProfilesOwnAndWhatIsInPlaceStaysSo() throws IOException {
    Profile profile = load("url = \"https://a\"\nca = \"ca.pem\"\nclient_key = \"-----BEGIN X\"\ntoken = \"secret\"\n");
    assertEquals(directory.resolve("ca.pem").toString(), profile.ca());
    assertEquals("-----BEGIN X", profile.clientKey());
    assertFalse(profile.toString().contains("secret"));
  }

  @Test
  void whatIsWrongIsNamed() {
    wrong("no key `port`", () -> load("url = \"https://a\"\nport = \"1\"\n"));
    wrong("`url` is missing", () -> load("token = \"t\"\n"));
    wrong("bbq serve", () -> Profile.load(directory.resolve("nowhere.toml")));
    wrong("in the clear", () -> Client.connect(Profile.of("http://example.org:6789", null, null)));
    wrong("must be https", () -> Client.connect(Profile.of("ftp://a", null, null)));
    wrong("no HTTP/3", () -> Client.connect(load("url = \"https://a\"\ntransport = \"http3\"\n")));
  }

  private Profile load(String text) throws IOException {
    return Profile.load(Files.writeString(directory.resolve("client.toml"), text));
  }

  private static void wrong(String what, org.junit.jupiter.api.function.Executable call) {
    String said = assertThrows(ProfileException.class, call).getMessage();
    assertTrue(said.contains(what), said);
  }
}
