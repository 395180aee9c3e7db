package bbq.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** Who started the runner: one line of JSON each way. */
final class Host {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
  private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  /** Tells the host something. */
  void say(Map<String, String> line) {
    try {
      out.println(JSON.writeValueAsString(line));
    } catch (IOException error) {
      throw new AssertionError(error);
    }
  }

  /** Asks the host for something and waits until it is done. */
  JsonNode ask(String what) {
    say(Map.of("ask", what));
    try {
      String answer = in.readLine();
      Check.holds(answer != null, "the host is gone");
      return JSON.readTree(answer);
    } catch (IOException error) {
      throw new AssertionError(error);
    }
  }
}
