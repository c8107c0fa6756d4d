import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.NoSuchAlgorithmException;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.server.ServerCnxn;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/**
 * Lets in the users that a file names, and nobody else.
 *
 * ZooKeeper's own provider takes every user with every password, and leaves it to the lists of
 * nodes what he may do: a stranger can still have a member keep some hundred requests of a
 * megabyte each, which it refuses one by one, until its memory ends.
 *
 * The file has a line for each user, his name and the hash of name and password as access lists
 * have it. It is read anew each time, as it may be replaced while the member runs. One that
 * cannot be read names nobody.
 */
public final class KnownUsers extends DigestAuthenticationProvider {
    private static final Path USERS = Path.of("/etc/zookeeper/users");

    @Override
    public KeeperException.Code handleAuthentication(ServerCnxn connection, byte[] proof) {
        try {
            String user = generateDigest(new String(proof));
            if (Files.readAllLines(USERS).contains(user)) {
                return super.handleAuthentication(connection, proof);
            }
        } catch (IOException | NoSuchAlgorithmException unknown) {
            // Whoever cannot be found in the file is not known.
        }
        return KeeperException.Code.AUTHFAILED;
    }
}
